import click


@click.command(name="completion")
def completion_command() -> None:
    """Install shell completion."""
