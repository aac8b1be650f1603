"""False outside parties that speak on the wire, written from the documents. Import nothing of ours."""
