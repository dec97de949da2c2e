"""Settlement: what each partner pays or receives for a period, and how anyone may check it."""
