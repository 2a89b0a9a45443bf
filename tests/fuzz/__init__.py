"""Requests made from the schema, and pairs of requests for the two roads to a prediction."""
