"""Contact sheets: the pictures of a ranking, as an HTML page or a PNG."""

from olrsearch.sheets.contents import Bar, Card, Companion, Section, Sheet, ranking_sheet
from olrsearch.sheets.drawing import check_plot, sheet_form, write_sheet

__all__ = [
    "Bar",
    "Card",
    "Companion",
    "Section",
    "Sheet",
    "check_plot",
    "ranking_sheet",
    "sheet_form",
    "write_sheet",
]
