"""Many servers at once: which they are, how they are asked, and reports about all of them.

`targets` reads ranges and lists, `probing` asks one server, `run` many, and `facts` says what is known about one as
plain data. The command is ``credssp probe``.
"""
