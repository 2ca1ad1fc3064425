"""How episodes of many workers are collected, weighted and merged, and what that costs."""
