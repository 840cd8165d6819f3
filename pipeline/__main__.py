"""The command line: `python -m pipeline`, or `hpa-pipeline`."""

import os
import sys

try:
    import typer

    from pipeline.commands import models, runs, schedule
    from pipeline.commands.compile import compile_command
    from pipeline.commands.example import example
    from pipeline.commands.export import export
    from pipeline.commands.help_text import join_paragraphs
    from pipeline.commands.lineage import lineage
    from pipeline.commands.parameters import parameters
    from pipeline.commands.predict import predict
    from pipeline.commands.preflight import preflight
    from pipeline.commands.prepare import prepare
    from pipeline.commands.preview import preview
    from pipeline.commands.prune import prune
    from pipeline.commands.run import run
    from pipeline.commands.serve import serve
    from pipeline.commands.spelling import advise
    from pipeline.commands.submit import submit
    from pipeline.commands.watch import watch
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed for {sys.executable}: run `make setup`, then `source .venv/bin/activate`.")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback()
def configure() -> None:
    """A Kubeflow pipeline that classifies protein localisation in multi-channel fluorescence images of cells.

    `run` runs it on this machine. `compile` writes the pipeline.yaml for a cluster, and `submit` runs it there.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # also for the processes that a command starts


app.command("compile")(compile_command)
app.command()(parameters)
app.command(no_args_is_help=True)(run)
app.command()(preview)
app.command(no_args_is_help=True)(prepare)
app.command(no_args_is_help=True)(example)
app.command()(prune)
app.command(no_args_is_help=True)(predict)
app.command(no_args_is_help=True)(watch)
app.command(no_args_is_help=True)(serve)
app.command(no_args_is_help=True)(export)
app.command()(preflight)
app.command(no_args_is_help=True)(submit)
app.command(no_args_is_help=True)(lineage)
app.add_typer(models.app, name="models")
app.add_typer(schedule.app, name="schedule")
app.add_typer(runs.app, name="runs")
join_paragraphs(app)
advise(app)

if __name__ == "__main__":
    app()
