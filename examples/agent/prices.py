"""A tool for the example agent: looks prices up."""

import coda

_PRICES = {"chair": 30, "table": 95, "mug": 4}


@coda.tool(effect="read")
def price(article: str) -> int:
    """Gives the price of an article; LookupError when it has none."""
    if article not in _PRICES:
        raise LookupError(f"{article} is not in the price list")
    return _PRICES[article]
