"""The gateway's own database: schema, migrations, and functions on an open connection."""
