"""The object tree as a shell: `vaportrail ls | cat | tree | create | edit | set | rm | ln | apply`.

A path is `<type>/<name>`; a name is an fq_name joined by colons, its last element where only one object of the type has
it, or a uuid. Everything goes through REST; what may be said of a type comes from the object model.

    paths, lookup, reading what a path says, the object it means, many objects at once
    documents              objects as a file declares them
    values, differences    `key=value` by the schema; what is to be changed, and no more
    listing, printing, tree                  looking
    creation, setting, editor, links         changing one object
    removal, plan, apply                     changing many, all or none
    completion             what the shell offers at Tab
"""
