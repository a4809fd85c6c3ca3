"""How nodes add up together: ranks on all of them meet, and whoever is wrong, silent or slow is named."""
