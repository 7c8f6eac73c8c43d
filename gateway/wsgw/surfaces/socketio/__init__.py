"""Socket.IO 5 over Engine.IO 4: polling, WebSockets and the upgrade between them; event names are channels."""
