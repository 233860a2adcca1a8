"""The engine over HTTP. Thin: read a request, one call of the engine, answer."""
