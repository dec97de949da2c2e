"""The schema's history: one linear chain, applied by `kopilka migrate` under one advisory lock."""
