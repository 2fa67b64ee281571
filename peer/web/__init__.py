"""A person or a program by HTTP: the endpoints, and the browser's page over a WebSocket."""
