"""Fuzz tests of the REST API: requests from the schema, and pairs with and without the fast road."""
