"""The owner's seat: command line, pages, and the one place where everything is put together and started."""
