"""docs/ops.md and the schemas."""

from pathlib import Path

from paconv import ops
from paconv.ops.document import markdown


def test_docs_ops_md_is_what_the_schemas_say():
    written = Path(__file__).parents[2] / "docs" / "ops.md"
    assert written.read_text(encoding="utf-8") == markdown(), "run `make docs`"


def test_every_op_and_each_of_its_parts_is_documented():
    text = markdown()
    for schema in {*ops.SCHEMAS.values(), *ops.LIBRARY_OPS}:
        chapter = text.partition(f"\n## {schema.name}\n")[2].partition("\n## ")[0]
        for part in (*schema.inputs, *schema.outputs, *schema.attributes):
            assert f"| `{part.name}` |" in chapter
