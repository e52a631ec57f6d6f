"""The screens, a folder each, and the catalog that lists them."""
