"""The screens, a folder each, and the catalog that opens them."""
