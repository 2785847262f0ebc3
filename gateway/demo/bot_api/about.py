"""Methods about the bot itself: who it is and its menu of commands."""

from __future__ import annotations

import json
import re
from typing import Any

from gateway.demo.bot_api.bots import Menu
from gateway.demo.bot_api.calls import ApiError, Call, method

_COMMAND = re.compile(r"[a-z0-9_]{1,32}")


async def get_me(call: Call) -> dict[str, Any]:
    """The bot as a User."""
    return {
        "id": call.bot.id, "is_bot": True, "first_name": call.bot.name, "username": call.bot.username,
        "can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False,
        "can_connect_to_business": True, "has_main_web_app": False,
    }  # fmt: skip


def _menu(call: Call) -> tuple[Menu, tuple[str, str]]:
    scope = call.value("scope") or {"type": "default"}
    return call.bot.part(Menu), (json.dumps(scope, sort_keys=True), call.text("language_code"))


async def set_my_commands(call: Call) -> bool:
    """At most 100 commands for one scope and language."""
    commands = call.value("commands")
    if not isinstance(commands, list) or len(commands) > 100:
        raise ApiError(400, "Bad Request: can't parse commands list")
    for each in commands:
        if not _COMMAND.fullmatch(str(each.get("command", ""))):
            raise ApiError(400, "Bad Request: BOT_COMMAND_INVALID")
        if not 1 <= len(str(each.get("description", ""))) <= 256:
            raise ApiError(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
    menu, key = _menu(call)
    menu.commands[key] = commands
    return True


async def get_my_commands(call: Call) -> list[dict[str, str]]:
    """Those of exactly this scope and language."""
    menu, key = _menu(call)
    return menu.commands.get(key, [])


async def delete_my_commands(call: Call) -> bool:
    """None any more for this scope and language."""
    menu, key = _menu(call)
    menu.commands.pop(key, None)
    return True


ABOUT = {
    "getMe": method(get_me),
    "setMyCommands": method(set_my_commands, "scope language_code", "commands"),
    "getMyCommands": method(get_my_commands, "scope language_code"),
    "deleteMyCommands": method(delete_my_commands, "scope language_code"),
}
