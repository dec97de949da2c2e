"""The replay: a year of real receipts sent through the front door, as partners, phones and staff would."""
