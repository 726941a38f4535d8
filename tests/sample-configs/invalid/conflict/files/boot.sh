echo a
<<<<<<< HEAD
echo b
=======
echo c
>>>>>>> topic
