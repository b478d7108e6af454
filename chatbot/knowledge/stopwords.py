"""Words that say nothing about what a text is about, in the four languages of the first clients.

With them kept, «what are the …» matches every passage there is, and joining words to meaning made good results worse.
"""

ENGLISH = """
a about after again all also am an and any anybody anyone anything are aren as at be because been before being both but by can cannot could couldn d
did didn do does doesn doing don down during each else ever every few for from further get gets getting give go goes going got had hadn has hasn
have haven having he hello her here hers herself hey hi him himself his how i if in into is isn it its itself just know let like ll m
make many may me might more most much must my myself need no nor not now of off ok okay on once one only or other our ours
out over own please re s same say shall she should shouldn so some somebody someone something such t tell than thank thanks that the their
theirs them themselves then there these they thing things this those through to too under until up us ve very want wants was wasn
we were weren what when where whether which while who whom whose why will with won would wouldn y yes you your yours yourself
arent cant couldnt didnt doesnt dont hows im isnt ive pls shouldnt thats theres thx u ur wasnt wont wouldnt whats wheres
"""

GERMAN = """
aber alle allem allen aller alles als also am an ander andere anderen anderer anderes auch auf aus bei bin bis bist bitte da damit dann das dass dein
deine deinem deinen deiner dem den denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein eine einem einen einer
eines er es etwas euch euer eure für gegen gibt habe haben habt hallo hat hatte hatten hier ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in
ins ist ja jede jedem jeden jeder jedes kann kannst können könnt man mehr mein meine meinem meinen meiner mich mir mit muss müssen nach nein nicht noch
nun nur ob oder ohne sehr sein seine seinem seinen seiner sich sie sind so soll sollen um und uns unser unsere unserem unseren
unter viel vom von vor wann war waren warum was weil welche welchem welchen welcher welches wenn wer werde werden wie wieder will wir wird wo
wollen würde würden zu zum zur über
"""

FRENCH = """
ai aie ainsi alors as au aussi autre aux avec avez avoir avons bonjour c ce cela celle celles celui ces cet cette ceux chez comme comment d dans de des
donc du elle elles en est et eu été être fait il ils j je l la le les leur leurs lui là m ma mais me merci mes moi
mon même n ne ni nos notre nous on ont ou où par pas peut peux plus pour pourquoi quand que quel quelle quelles quels qui quoi s sa
sans se sera ses si son sont suis sur t ta te tes toi ton tous tout toute toutes tu un une vos votre voudrais vous y à ça étais était
"""

SPANISH = """
a al algo algunas algunos ante antes aquí así como con cual cuales cuando cuál cuáles cuándo cuánto de del desde donde dos dónde e el ella ellas ellos en
entre era eran eres es esa esas ese eso esos esta estaba estado estar estas este esto estos está están estoy favor fue fueron gracias ha
hace han hasta hay he hola la las le les lo los me mi mis mucho muchos muy más mí nada ni no nos nosotros nuestra nuestro o os
otra otro para pero poco por porque puede pueden puedo que quien quiero qué quién se ser si sido sin sobre son soy su sus sí también
tanto te tengo tener tiene tienen todo todos tu tus tú un una uno unos y ya yo él
"""

STOP_WORDS = frozenset(" ".join((ENGLISH, GERMAN, FRENCH, SPANISH)).split())
