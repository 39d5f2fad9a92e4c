"""HTTP/1.1 by uvicorn's protocol on httptools, with bounds on what clients may do. Knows no models."""
