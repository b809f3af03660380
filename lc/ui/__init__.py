"""The page: what a person sees. Knows gradio; no other room does."""
