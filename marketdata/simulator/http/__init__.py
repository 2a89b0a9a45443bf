"""The simulated exchange's REST and websocket server."""
