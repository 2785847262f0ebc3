"""The web site: API, people's pages, webhooks, health. `application` is the map."""
