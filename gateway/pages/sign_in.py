"""The page that signs in; what it offers it asks of gateway/people/sign_in.py."""

from __future__ import annotations

from gateway.pages.frame import Page

PAGE = Page("sign-in", "/sign-in")
