"""Shares, which releases come from: a directory, or an Azure Files share over REST."""
