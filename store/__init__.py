"""What is remembered: tables, migrations, queries. Text is encrypted at rest. Knows only `config`."""
