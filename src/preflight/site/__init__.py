"""The history as pages for a browser, served while it goes on or written to a folder."""
