"""The verdict as one HTML page that needs nothing beside it.

page.py      the page
tables.py    stages and layers
plots.py     plots as inline SVG
style.py     the style sheet
"""

from .page import verdict_page, write_page

__all__ = ["verdict_page", "write_page"]
