"""A share that is an Azure Files share, over its REST API."""
