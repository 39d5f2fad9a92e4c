"""The pages as a site: what is written for GitHub, built by MkDocs without a change of a page."""
