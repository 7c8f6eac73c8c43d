"""Where ASGI and uvicorn are known: everything that turns connections and requests into sessions."""
