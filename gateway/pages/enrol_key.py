"""The page on which somebody enrols a key by the link of an administrator: gateway/people/key_routes.py."""

from __future__ import annotations

from gateway.pages.frame import Page

PAGE = Page("enrol-key", "/sign-in/enrol/{secret}")
