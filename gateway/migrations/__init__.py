"""The database's shape over time: one linear chain of migrations, run under one advisory lock."""
