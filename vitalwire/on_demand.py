"""Commands whose modules are imported when they are asked for: all of them together take a second."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

from runtime.errors import UserError


def on_demand(places: Mapping[str, str]) -> type[TyperGroup]:
    """The class of a group that has these commands beside those that were added to it, by name.

    A place is "module:attribute", a function or a Typer there.
    """

    class OnDemand(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            """Those that were added, then those of the places."""
            return [name for name in self.commands if name not in places] + list(places)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            """None: there is none of this name, or this machine has not what it needs."""
            if cmd_name in places and cmd_name not in self.commands:
                try:
                    self.add_command(load(cmd_name, places[cmd_name]), cmd_name)
                except ModuleNotFoundError as error:
                    if _is_ours(error):
                        raise
            return super().get_command(ctx, cmd_name)

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """As TyperGroup; which names are like a mistyped one is asked of all."""
            if args and args[0] not in self.list_commands(ctx):
                for name in places:
                    self.get_command(ctx, name)
            elif args and self.get_command(ctx, args[0]) is None:
                raise UserError(
                    f"`{ctx.command_path} {args[0]}` is for the hospital's side: a box has not all that it needs;"
                    " run it where `make run` or the whole installation is"
                )
            return super().resolve_command(ctx, args)

    return OnDemand


def _is_ours(error: ModuleNotFoundError) -> bool:
    """Whether what is missing is a module of this project, which is a bug."""
    package = (error.name or "").partition(".")[0]
    return package == "" or find_spec(package) is not None


def load(name: str, place: str) -> Any:
    """The command that stands at "module:attribute", by this name."""
    module, _, attribute = place.partition(":")
    found = getattr(import_module(module), attribute)
    only = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    if isinstance(found, typer.Typer):
        only.add_typer(found, name=name)
    else:
        only.command(name)(found)
    return typer.main.get_group(only).commands[name]
