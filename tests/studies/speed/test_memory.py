"""A model served in processes of its own."""

import pytest

from paconv.cost.host.probe import bit_conv, conv, float_layer
from paconv.errors import ModelError
from paconv.studies.speed.measured import FLOAT, PA
from paconv.studies.speed.memory import serve_fresh
from tests.bench.test_models import saved

LAYER = conv(8, 16, 5)


@pytest.mark.parametrize(("what", "model"), [(FLOAT, float_layer(LAYER)), (PA, bit_conv(LAYER, 4, 5))])
def test_opening_and_memory_are_those_of_a_fresh_process(tmp_path, what, model):
    found = serve_fresh("layer", what, saved(model, tmp_path / "model.onnx"), (4, 5))
    assert 0 < found.before_bytes <= found.peak_bytes < 2**30
    assert 0 < found.create_seconds < 60 and found.first_run_seconds > 0


def test_a_model_that_cannot_be_served_is_one_clear_error(tmp_path):
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError, match="serving it in a fresh process failed") as error:
        serve_fresh("layer", FLOAT, tmp_path / "junk.onnx")
    assert "\n" not in str(error.value)
