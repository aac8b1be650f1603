"""The page on which somebody lets the command line in: gateway/people/command_line_routes.py."""

from __future__ import annotations

from gateway.pages.frame import Page

PAGE = Page("command-line", "/command-line")
