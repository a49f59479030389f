"""Function words that carry no topic, per ISO 639-1 language.

The lists are short on purpose: BM25's inverse document frequency already makes common words cheap, so a list only has
to keep the longest posting lists out of queries. Words that name things in technical text ("can", "will", "no",
"not", "over") are left out where that would lose meaning. Languages without a list keep all their words.
"""

from __future__ import annotations

_LISTS = {
    "en": "a an and are as at be been but by d did do does for from had has have he her his how i if in into is it "
    "its ll m me my of on or our re s she so some such t than that the their them then there these they this "
    "those to us ve was we were what when where which who whom whose why with you your",
    "de": "aber als am an auch auf aus bei bin bis das dass dem den der des die dies diese dieser dieses du durch "
    "ein eine einem einen einer eines er es für hat hatte ich ihr im in ist ja man mit nach noch nur oder sein "
    "seine sich sie sind so über um und uns unter vom von vor war waren was wer wie wir wird wo zu zum zur",
    "fr": "à au aux avec c ce ces cet cette ceux d dans de des du elle elles en est et étaient était été être eu il "
    "ils j je l la le les leur leurs lui m mais me mes moi n ne nos notre nous on ont ou où par pas plus pour "
    "qu que quel quelle qui s sa se ses son sont sur t ta te tes ton tu un une vos votre vous y",
    "es": "a al algo ante aquel aquella como con cual cuando de del desde donde e el él ella ellas ellos en entre "
    "era es esa ese eso esta está este esto estos fue ha han hasta la las le les lo los más me mi muy ni nos o "
    "para pero por porque que qué quien se ser si sin sobre son su sus también te tiene tu un una uno unos y "
    "ya yo",
    "it": "a ad ai al alla alle anche c che chi ci col come con così da dal dalla degli dei del della delle di dove "
    "e è ed era erano fra gli ha hanno i il in io l la le lei lo loro lui ma mi ne nei nel nella o per perché "
    "più quale quando quella quello questa questo se si sono su sua sue sugli sui sul sulla suo tra tu un una "
    "uno vi voi",
    "pt": "à ao aos as às até com como da das de dela dele do dos e é ela elas ele eles em entre era essa esse esta "
    "este eu foi há isso isto já lhe mais mas me mesmo meu minha muito na não nas no nos o os ou para pela "
    "pelo por qual quando que quem se sem ser seu seus sua suas também te tem um uma você",
    "nl": "aan al als bij dat de der deze die dit door een en er het hij hoe ik in is je kan maar me met mij mijn na "
    "naar niet nog nu of om onder ons ook op over te tot uit uw van veel voor waar was wat we wel werd wie wij "
    "zal ze zich zij zijn zo zou",
    "sv": "alla att av blev både de dem den denna deras dess det detta dig din du där efter ej eller en ett för från "
    "ha hade han hans har hon hur i inte jag kan man med mellan men mig min mot när nu och om oss på sig sin "
    "som så till under upp ut vad var vara vi vid vilken är över",
    "da": "af alle at blev da de dem den denne der deres det dette dig din du efter eller en er et for fra ham han "
    "hans har hende hun hvad hvem hvor i ikke jeg kan man med men mig min mod når ned nu og om op os på sig "
    "sin som så til ud under var ved vi vil være",
    "no": "alle at av ble da de dem den denne der deres det dette din du eller en er et etter for fra ha hadde han "
    "hans har hun hva hvem hvor i ikke jeg kan man med men meg min mot når nå og om opp oss på seg sin som så "
    "til ut var ved vi vil være",
    "fi": "ei eivät että he hän ja joka jos jotka kanssa kuin kun me mikä minä mutta mitä myös ne niin niitä nyt ole "
    "on ovat se sen sitä tai te tämä tässä vaan vain",
    "ru": "а без более бы был была были было быть в вам вас во вот все всё вы где да для до его ее её если есть еще "
    "ещё же за и из или им их к как ко кто ли мне мы на над нас не него нее но о об он она они оно от по под "
    "при с со так там то того тоже только том ты у уже чем что чтобы эта эти это этот я",
}

STOP_WORDS: dict[str, frozenset[str]] = {language: frozenset(words.split()) for language, words in _LISTS.items()}
