"""`headway ui`: web pages on 127.0.0.1 that show what verbs of the command line show, with the user's kubeconfig."""
