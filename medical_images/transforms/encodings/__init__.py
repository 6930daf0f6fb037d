"""How each kind of feature becomes columns or tokens."""
