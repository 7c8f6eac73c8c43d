"""From a socket to a link: uvicorn's protocol objects, and plain ASGI."""
