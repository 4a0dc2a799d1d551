"""The logs server: gigabytes of logs for the price of a page, redacted before anything is selected."""
