"""The packages that come with this library, one module each with the two entry functions of a package DLL."""
