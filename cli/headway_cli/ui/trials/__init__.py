"""The trials of a search as the pages have them: read, ranked, and drawn. Only `reading` knows clusters and storage."""
