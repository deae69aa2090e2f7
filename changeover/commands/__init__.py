"""The commands of `changeover`, a module each; `changeover.cli` puts them together."""
