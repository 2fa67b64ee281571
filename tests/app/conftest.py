from plugin_files import modules

__all__ = ["modules"]
