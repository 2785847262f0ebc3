"""As child.py, in a hurry at the end: what hangs is given a moment, so that the tests do not wait for it."""

from __future__ import annotations

from gateway import waiting


def main() -> None:
    """Run until SIGTERM, or until the point."""
    waiting.STOPPING = 1.0
    from tests.feeds.child import main as run

    run()


if __name__ == "__main__":
    main()
