"""A Bot API server of our own: Telegram's wire without Telegram, for the demo and for the tests.

`BotApi` is the server. What it can do is a table of `Method`s: `RECEIVING` here has what concerns updates, webhooks,
files and the bot itself. More methods are more rows: `BotApi(methods=RECEIVING | SENDING)`.
"""

from gateway.demo.bot_api.about import ABOUT
from gateway.demo.bot_api.bots import Bot
from gateway.demo.bot_api.calls import ApiError, Call, Method, RawJson, Upload
from gateway.demo.bot_api.faults import Fault
from gateway.demo.bot_api.files import FILES
from gateway.demo.bot_api.sending import SENDING
from gateway.demo.bot_api.server import BotApi
from gateway.demo.bot_api.updates import UPDATES
from gateway.demo.bot_api.webhooks import WEBHOOKS

RECEIVING = {**UPDATES, **WEBHOOKS, **FILES, **ABOUT}

__all__ = ["RECEIVING", "SENDING", "ApiError", "Bot", "BotApi", "Call", "Fault", "Method", "RawJson", "Upload"]
