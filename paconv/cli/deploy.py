"""`paconv deploy`: pa.onnx to a repository that a model server takes as it is."""

from __future__ import annotations

from pathlib import Path

import click

from paconv.cli.output import TEXT, Choice, output_options
from paconv.cli.ranges import BATCH, INT32, THREADS
from paconv.deployment.deploy import DEFAULT_SERVED_AT, SERVERS, Deployment
from paconv.deployment.deploy import deploy as write_repository
from paconv.deployment.triton_config import DEFAULT_MAX_BATCH_SIZE
from paconv.onnx_file.loading import load_model
from paconv.ops import DOMAIN
from paconv.pipeline import FLOAT_FILE
from paconv.reporting.tables import to_json

__all__ = ["deploy"]


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="The model repository. Other models in it stay as they are.",
)
@click.option("--server", type=Choice(SERVERS), default="triton", show_default=True)
@click.option("--name", help="What clients call the model [default: MODEL's name without its suffix].")
@click.option(
    "--library",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Custom-op library to ship, such as one for another processor [default: paconv.library_path()].",
)
@click.option(
    "--served-at",
    metavar="PATH",
    default=DEFAULT_SERVED_AT,
    show_default=True,
    help="Where the server sees the repository. KServe: /mnt/models.",
)
@click.option(
    "--max-batch-size",
    type=click.IntRange(0, INT32),
    metavar="N",
    help="Most samples that the server runs together; 0: a request is run as it is "
    f"[default: {DEFAULT_MAX_BATCH_SIZE}, or 0 if the model's batch is not free].",
)
@click.option(
    "--preferred-batch-size",
    "preferred",
    type=BATCH,
    multiple=True,
    metavar="N",
    help="Batch size that is run at once. May be repeated.",
)
@click.option(
    "--max-queue-delay",
    type=click.IntRange(0, INT32),
    metavar="MICROSECONDS",
    help="How long a request may wait for others to share its batch.",
)
@click.option("--instances", type=THREADS, default=1, show_default=True, help="Batches that run at the same time.")
@click.option("--threads", type=THREADS, metavar="N", help="Threads of each instance [default: one for each core].")
@output_options(TEXT)
@click.option("--force", is_flag=True, help="Replace a model of this name that deploy wrote.")
def deploy(
    model: Path,
    folder: Path,
    server: str,
    name: str | None,
    library: Path | None,
    served_at: str,
    max_batch_size: int | None,
    preferred: tuple[int, ...],
    max_queue_delay: int | None,
    instances: int,
    threads: int | None,
    force: bool,
    style: str,
    quiet: bool,
) -> None:
    """Write MODEL into a model repository: the model, its configuration and the custom-op library.

    \b
    Example:
      paconv deploy pa.onnx -o repository --name resnet18
      docker run --rm -p 8000:8000 -v $PWD/repository:/models:ro \\
        nvcr.io/nvidia/tritonserver:RELEASE-py3 \\
        tritonserver --model-repository=/models
    """
    done = write_repository(
        model,
        folder,
        server=server,
        name=name,
        library=library,
        served_at=served_at,
        max_batch_size=max_batch_size,
        preferred_batch_sizes=preferred,
        max_queue_delay=max_queue_delay,
        instances=instances,
        threads=threads,
        force=force,
    )
    if style == "json":
        click.echo(to_json({name: str(v) if isinstance(v, Path) else v for name, v in vars(done).items()}), nl=False)
        return
    click.echo(f"{done.folder}: {_summary(done)}")
    if quiet:
        return
    if done.machine is None:
        click.echo(_not_packed(model))
    else:
        click.echo(f"the library is looked for at {served_at}/{done.name}: the server must see {folder} at {served_at}")


def _not_packed(model: Path) -> str:
    """What a model without the library's ops is, and how it becomes one with them."""
    exported = any(node.domain == DOMAIN for node in load_model(model).graph.node)
    way = f"`paconv optimize {model}` makes the fast one of it: deploy that" if exported else FLOAT_FILE
    return f"{model.name} isn't optimized, so that it is served without the library, by any onnxruntime: {way}"


def _summary(done: Deployment) -> str:
    batch = f"batches of up to {done.max_batch_size}" if done.max_batch_size else "no batching"
    return f"model and configuration, {batch}" + ("" if done.machine is None else f", library for {done.machine}")
