"""Twilio's messaging for the channels that speak it: signature, webhooks, settings. No channel by itself."""
