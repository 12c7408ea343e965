"""Images in the browser: stores and lazy results, tile by tile, before anything is written.

`showing` has the function; all else is imported when that is called.
"""
